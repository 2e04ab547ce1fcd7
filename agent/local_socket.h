/// Local stream sockets between processes of this host: one line in, an answer back, end of stream.
#pragma once

#include "base/file.h"
#include "base/result.h"

#include <cstdint>
#include <filesystem>
#include <string>

namespace drover::agent {

/// Sends one line, returns everything up to the end of the stream. The path may be longer than
/// sockaddr_un allows. Errors: not_found (nobody listens), timed_out, io. Blocks.
[[nodiscard]] Result<std::string> ask_local_socket(const std::filesystem::path& socket,
                                                   const std::string& line,
                                                   std::int64_t timeout_ms);

/// A listening socket at `socket`, mode 0600, in place of a dead one's name.
[[nodiscard]] Result<Fd> listen_local_socket(const std::filesystem::path& socket);

/// True if the peer of an accepted connection is root or our own user.
[[nodiscard]] bool local_peer_is_trusted(int fd);

/// The first line a peer sends, without its end; cut at `bytes_max`. Blocks up to the socket's own
/// receive time-out.
[[nodiscard]] std::string read_line(int fd, std::size_t bytes_max);

}  // namespace drover::agent
