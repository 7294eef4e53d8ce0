#!/usr/bin/env python3
"""Trains the digits network on scikit-learn's handwritten digits and writes what the example needs into data/:

  digits.safetensors  the weights
  images.npy          the held-out images, float32 [360, 1, 8, 8], ink from 0 to 1
  labels.npy          their classes, int32 [360]
  logits.npy          what PyTorch computes for them, float32 [360, 10]

One fifth of the images, the same share of every digit, is held out and looked at once, at the end. The recipe is fixed:
nothing is selected on the held-out images. About a minute on two cores. Needs tests/oracle/requirements.txt (./test.sh
installs it into .venv) and scikit-learn 1.9.1.
"""

import argparse
import pathlib

import numpy as np
import torch
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

from model import Digits, state

EPOCHS = 60
BATCH = 64
HELD_OUT = 360
PEAK_LEARNING_RATE = 0.1
INK = 16.0  # the data set's pixels are counts from 0 to 16


def load():
    digits = load_digits()
    images = (digits.images / INK).astype(np.float32)[:, None]
    labels = digits.target.astype(np.int32)
    return train_test_split(images, labels, test_size=HELD_OUT, stratify=labels, random_state=0)


def shifted(images, generator):
    """Each image moved by up to one pixel in each direction; what enters is blank."""
    padded = nn.functional.pad(images, (1, 1, 1, 1))
    dy, dx = torch.randint(0, 3, (2, len(images)), generator=generator)
    return torch.stack([p[:, y : y + 8, x : x + 8] for p, y, x in zip(padded, dy.tolist(), dx.tolist())])


def train(model, images, labels, seed):
    generator = torch.Generator().manual_seed(seed)
    steps = -(-len(images) // BATCH)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=PEAK_LEARNING_RATE, epochs=EPOCHS, steps_per_epoch=steps
    )
    loss_of = nn.CrossEntropyLoss(label_smoothing=0.1)
    model.train()
    for epoch in range(EPOCHS):
        total = 0.0
        for batch in torch.randperm(len(images), generator=generator).split(BATCH):
            loss = loss_of(model(shifted(images[batch], generator)), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(batch)
        if epoch % 10 == 9:
            print(f"epoch {epoch + 1:3}: loss {total / len(images):.4f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).parent / "data")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    torch.set_num_threads(2)
    torch.manual_seed(args.seed)
    torch.use_deterministic_algorithms(True)
    train_images, held_out_images, train_labels, held_out_labels = load()

    model = Digits()
    train(model, torch.from_numpy(train_images), torch.from_numpy(train_labels).long(), args.seed)
    model.eval()
    with torch.no_grad():
        logits = model(torch.from_numpy(held_out_images)).numpy()

    predicted = logits.argmax(1)
    top_two = np.sort(logits, axis=1)[:, -2:]
    print(f"parameters: {sum(p.numel() for p in model.parameters())}")
    print(f"held out: {(predicted == held_out_labels).sum()} of {len(predicted)} right")
    print(f"closest call: {np.diff(top_two, axis=1).min():.4f} between the two largest logits")

    args.out.mkdir(parents=True, exist_ok=True)
    save_file(state(model), args.out / "digits.safetensors")
    np.save(args.out / "images.npy", held_out_images)
    np.save(args.out / "labels.npy", held_out_labels)
    np.save(args.out / "logits.npy", logits)


if __name__ == "__main__":
    main()
