"""Every open lead at once: scored for the CRM, and united with the warehouse."""
