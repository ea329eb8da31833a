"""The record, the fourth contract beside dataset, run and bundle: one measurement and the machine it was taken on."""

from edge_seg.records.machine import CORES, Machine
from edge_seg.records.record import Record, append, read

__all__ = ["CORES", "Machine", "Record", "append", "read"]
