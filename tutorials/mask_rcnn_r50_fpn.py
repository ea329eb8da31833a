"""Mask R-CNN with ResNet50 and FPN on the xiaoduxiong dataset: ``python tutorials/mask_rcnn_r50_fpn.py --help``."""

import sys

import lesson

if __name__ == "__main__":
    imagenet = "https://paddledet.bj.bcebos.com/models/pretrained/ResNet50_cos_pretrained.pdparams"
    sys.exit(lesson.run("mask_rcnn_r50_fpn", imagenet))
