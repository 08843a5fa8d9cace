# SPDX-License-Identifier: Apache-2.0
"""What every training of networks needs: devices, generators, checkpoints. PyTorch is allowed."""
