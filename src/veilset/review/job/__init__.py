# SPDX-License-Identifier: Apache-2.0
"""What happens in a review job; every function takes a connection in a transaction."""
