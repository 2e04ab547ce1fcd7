/// What the listener hands the links of one job to.
#pragma once

#include "base/bytes.h"
#include "wire/link.h"

#include <memory>

namespace drover::replicator {

class PeerServer {
  public:
    virtual ~PeerServer() = default;  ///< aborts links and joins

    /// Serves one control link on its own thread until it ends. The first frame was the peer's
    /// hello, already checked by PeerGate. A newer session of the same peer replaces the older one.
    virtual void serve_control(std::unique_ptr<wire::Link> link, Bytes hello) = 0;
    virtual void serve_bulk(std::unique_ptr<wire::Link> link, Bytes hello) = 0;
};

}  // namespace drover::replicator
