#include "replicator/io_ring.h"

#include "base/assert.h"

#include <algorithm>
#include <cerrno>

#include <liburing.h>

namespace drover::replicator {

std::unique_ptr<IoRing> IoRing::make() {
    auto ring = std::make_unique<io_uring>();
    if (::io_uring_queue_init(depth_max, ring.get(), 0) != 0) return nullptr;
    auto made = std::unique_ptr<IoRing>(new IoRing(std::move(ring)));
    // Of Linux 5.6, as are the plain reads and writes that are begun here; nothing else tells of
    // those.
    const bool is_new_enough = (made->ring_->features & IORING_FEAT_RW_CUR_POS) != 0;
    return is_new_enough ? std::move(made) : nullptr;
}

IoRing::IoRing(std::unique_ptr<io_uring> ring)
    : ring_(std::move(ring)) {}

IoRing::~IoRing() {
    ::io_uring_queue_exit(ring_.get());
}

void IoRing::run(int fd, Way way, Transfers& transfers, unsigned depth) {
    for (;;) {
        while (transfers.under_way() < depth) {
            const auto part = transfers.next();
            if (!part) break;
            begin(fd, way, transfers.rest(*part), *part);
        }
        const auto under_way = static_cast<unsigned>(transfers.under_way());
        if (under_way == 0) return;
        // Half of it stays under way while the next ones are begun.
        wait(std::max(under_way / 2, 1U));
        reap(transfers);
    }
}

void IoRing::begin(int fd, Way way, const Transfer& transfer, std::size_t part) {
    io_uring_sqe* entry = ::io_uring_get_sqe(ring_.get());
    // There are as many entries as may be under way, and those before were submitted.
    DROVER_ASSERT(entry != nullptr);
    const auto length = static_cast<unsigned>(transfer.length);
    if (way == Way::read) {
        ::io_uring_prep_read(entry, fd, transfer.memory, length, transfer.offset);
    } else {
        ::io_uring_prep_write(entry, fd, transfer.memory, length, transfer.offset);
    }
    ::io_uring_sqe_set_data64(entry, part);
}

/// The kernel may still move bytes of what is under way, so there is no way out but its end: what
/// passes is tried again, and anything else is a mistake of ours.
void IoRing::wait(unsigned at_least) {
    const int done = ::io_uring_submit_and_wait(ring_.get(), at_least);
    DROVER_ASSERT(done >= 0 || done == -EINTR || done == -EAGAIN || done == -EBUSY);
}

void IoRing::reap(Transfers& transfers) {
    io_uring_cqe* entry = nullptr;
    while (::io_uring_peek_cqe(ring_.get(), &entry) == 0) {
        transfers.ended(static_cast<std::size_t>(entry->user_data), entry->res);
        ::io_uring_cqe_seen(ring_.get(), entry);
    }
}

}  // namespace drover::replicator
