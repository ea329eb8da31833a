"""Mask R-CNN with HRNet-W18 and FPN on the xiaoduxiong dataset: ``python tutorials/mask_rcnn_hrnet_fpn.py --help``."""

import sys

import lesson

if __name__ == "__main__":
    imagenet = "https://paddledet.bj.bcebos.com/models/pretrained/HRNet_W18_C_pretrained.pdparams"
    sys.exit(lesson.run("mask_rcnn_hrnet_fpn", imagenet))
