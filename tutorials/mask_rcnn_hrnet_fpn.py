"""Mask R-CNN with HRNet-W18 and its own FPN, trained on images of toy bears as PaddleX's model page did.

Copy this file anywhere and change it: it needs nothing but edge-seg itself (pip install 'edge-seg[train,report]'). It
ends with the mAP and a page, report.html in the run folder. A training that was stopped goes on when the script is
started again.
"""

import argparse
import sys
from pathlib import Path

from edge_seg.cli import main as edge_seg

MODEL = "mask_rcnn_hrnet_fpn"

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="xiaoduxiong", help="COCO folder; fetched if it isn't there")
    parser.add_argument("--url", default="xiaoduxiong", help="name or address of the data set's archive")
    parser.add_argument("--out", default=f"output/{MODEL}", help="run folder")
    parser.add_argument("--weights", default="", help="file, address, name of `edge-seg weights list`, or none")
    parser.add_argument("--epochs", default="12")
    parser.add_argument("--short-side", default="800", help="pixels, as --long-side; smaller is quicker")
    parser.add_argument("--long-side", default="1333")
    parser.add_argument("--device", default="auto", help="auto, cpu or gpu")
    options = parser.parse_args()

    if not Path(options.data).is_dir() and (code := edge_seg(["data", "fetch", options.url, "--out", options.data])):
        sys.exit(code)
    words = ["train", MODEL, "--data", options.data, "--out", options.out, "--resume", "--weights", options.weights]
    words += ["--batch", "1", "--lr", "0.00125", "--decay-epochs", "8,11"]
    words += ["--epochs", options.epochs, "--short-side", options.short_side, "--long-side", options.long_side]
    sys.exit(edge_seg([*words, "--device", options.device]))
