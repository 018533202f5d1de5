"""The processes of the service: how they start, which bundle answers, and what they do beside answering."""
