"""Whom to call today: as many open leads as there is time for, with what to expect of them."""
