"""Mask R-CNN with ResNet18 and FPN on the xiaoduxiong dataset: ``python tutorials/mask_rcnn_r18_fpn.py --help``."""

import sys

import lesson

if __name__ == "__main__":
    # No ImageNet weights of the plain ResNet18 are published under PaddleDetection's names: give some by --weights.
    sys.exit(lesson.run("mask_rcnn_r18_fpn"))
