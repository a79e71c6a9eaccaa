"""Zoom-in: the centre of a patch, resized back, so that folds look larger."""

import cv2
import numpy as np
import tensorflow as tf

from patchseg.patching import INTERPOLATION


def zoom_in(image, mask, fraction):
    """Crop the centre of a patch and its mask and resize both back, so that folds look larger.

    Parameters
    ----------
    image : (h, w) ndarray of float
    mask : (h, w) ndarray of uint8
    fraction : float
        Share of each edge that is kept, in (0, 1]; 0.5 doubles the folds and is the original
        recipe.

    Returns
    -------
    image : (h, w) ndarray of float32
        Bilinear.
    mask : (h, w) ndarray of uint8
        Nearest neighbour: no label is invented.

    Raises
    ------
    ValueError
        If the fraction is outside (0, 1], or the shapes differ.
    """
    if not 0 < fraction <= 1:
        raise ValueError(
            f"fraction {fraction} is not in (0, 1]; 0.5 keeps the central half of each edge"
        )
    if image.shape != mask.shape:
        raise ValueError(
            f"image {image.shape} and mask {mask.shape} differ in shape; pass a matching pair"
        )
    h, w = image.shape

    def crop_and_resize(pixels, interpolation):
        cropped = tf.image.central_crop(pixels[..., None], fraction).numpy()[..., 0]
        return cv2.resize(cropped, (w, h), interpolation=INTERPOLATION[interpolation])

    return crop_and_resize(image.astype(np.float32), "bilinear"), crop_and_resize(mask, "nearest")
