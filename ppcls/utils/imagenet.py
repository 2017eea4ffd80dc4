"""ImageNet-1k: statistics of its training images, scaled to 0..1, per channel (RGB), and the names of its classes."""

from pathlib import Path

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
# Of gray pictures, their mean over the channels. An alpha channel has no statistics: it becomes -1 to 1.
GRAY_MEAN, GRAY_STD = (0.449,), (0.226,)
RGBA_MEAN, RGBA_STD = (*MEAN, 0.5), (*STD, 0.5)

# Lines `id name`. The names are WordNet's lemmas; PaddleClas's recipes name a file of this name and content.
LABEL_LIST = Path(__file__).with_name("imagenet1k_label_list.txt")
CLASS_NUM = 1000
# Of the names of the folders by class id, which is their alphabetical order, joined by line feeds.
FOLDERS_SHA256 = "385e0240499426c022b773be1ae4da780f057b89c9694c7f47199f62746b6edd"
