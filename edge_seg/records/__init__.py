"""The record, the fourth contract beside dataset, run and bundle: one measurement and the machine it was taken on."""
