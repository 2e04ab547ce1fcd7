/// Overlays for tests on Linux: what a workload writes there stays off the disk below.
///
///   reflink      a clone of the image file, on a filesystem that shares blocks (XFS, btrfs);
///                behind a loop device of its own if the disk is one
///   dm-snapshot  a device of the device mapper over a block device; its writes go to a file
///   qcow2        a file of qemu-img over the disk as its raw backing file, which QEMU and
///                qemu-nbd open read-only
#pragma once

#include "agent/host_ops.h"

namespace drover::agent {

/// HostOps::can_overlay, make_overlays, remove_overlays.
[[nodiscard]] Result<> can_make_overlays(const OverlayPlan& plan);
[[nodiscard]] Result<std::vector<std::string>> make_overlay_files(const OverlayPlan& plan);
[[nodiscard]] Result<> remove_overlay_files(const OverlayPlan& plan);

}  // namespace drover::agent
