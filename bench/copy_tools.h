/// The peers: tools of Debian that copy a disk to another host, here over loopback to an NBD server
/// on the target's device, and rsync. Each is run the way that is fastest for it here.
#pragma once

#include "bench/child.h"
#include "bench/loop_disk.h"

#include <cstdint>
#include <memory>
#include <string>

namespace drover::bench {

/// qemu-nbd on `disk`, around the page cache, on a port of 127.0.0.1; with TLS if `keys` names a
/// directory with a key made by make_tls_keys().
class NbdServer {
  public:
    NbdServer(const LoopDisk& disk, const std::string& keys, const std::string& log);

    [[nodiscard]] std::uint16_t port() const { return port_; }

  private:
    std::uint16_t port_;
    std::unique_ptr<Child> child_;
};

/// A directory below `directory` with a new pre-shared key for the peers' TLS.
[[nodiscard]] std::string make_tls_keys(const std::string& directory);

/// One command, in seconds of wall time from its start to its end; whatever it says goes to `log`.
/// A failure ends the program.
[[nodiscard]] double seconds_of(const std::string& command, const std::string& log);

enum class Copy : std::uint8_t {
    dense,           ///< all data
    sparse,          ///< mostly zeroes
    sparse_to_blank  ///< and the tool is told that the target has nothing but zeroes
};

/// Commands that copy `source` to the server's disk; they end when that is flushed.
[[nodiscard]] std::string nbdcopy_command(const LoopDisk& source, const NbdServer& to,
                                          const std::string& keys, Copy copy);
[[nodiscard]] std::string qemu_img_command(const LoopDisk& source, const NbdServer& to,
                                           const std::string& keys, Copy copy);
/// Both disks are local to it and it sends nothing over a network, which is in its favour.
[[nodiscard]] std::string rsync_command(const LoopDisk& source, const LoopDisk& target);

}  // namespace drover::bench
