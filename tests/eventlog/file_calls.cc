#include "base/assert.h"
#include "tests/eventlog/file_call.h"

#include <cctype>

namespace drover::eventlog::testing {
namespace {

std::string file_class(const std::string& path) {
    std::string out;
    for (const char c : path) {
        const bool digit = std::isdigit(static_cast<unsigned char>(c)) != 0;
        if (!digit) out += c;
        if (digit && (out.empty() || out.back() != '#')) out += '#';
    }
    return out.empty() ? "." : out;
}

}  // namespace

std::string to_string(Op op) {
    switch (op) {
        case Op::open:
            return "open";
        case Op::create:
            return "create";
        case Op::close:
            return "close";
        case Op::read:
            return "read";
        case Op::write:
            return "write";
        case Op::sync:
            return "sync";
        case Op::resize:
            return "resize";
        case Op::allocate:
            return "allocate";
        case Op::rename:
            return "rename";
        case Op::remove:
            return "remove";
        case Op::make_directory:
            return "make directory";
        case Op::link:
            return "link";
        case Op::lock:
            return "lock";
        case Op::look:
            return "look";
    }
    return "";
}

std::string to_string(Fault fault) {
    switch (fault) {
        case Fault::none:
            return "nothing";
        case Fault::io_error:
            return "EIO";
        case Fault::no_space:
            return "ENOSPC";
        case Fault::short_write:
            return "short write";
        case Fault::torn_write:
            return "torn write";
        case Fault::failed_sync:
            return "failed sync";
        case Fault::power_loss:
            return "power loss";
    }
    return "";
}

bool changes_files(Op op) {
    switch (op) {
        case Op::create:
        case Op::write:
        case Op::sync:
        case Op::resize:
        case Op::rename:
        case Op::remove:
        case Op::make_directory:
        case Op::link:
            return true;
        case Op::open:
        case Op::close:
        case Op::read:
        case Op::allocate:
        case Op::lock:
        case Op::look:
            return false;
    }
    return false;
}

bool applies(Fault fault, Op op) {
    switch (fault) {
        case Fault::none:
            return false;
        case Fault::io_error:
            return op != Op::sync;
        case Fault::no_space:
            return op == Op::create || op == Op::write || op == Op::allocate || op == Op::rename ||
                   op == Op::make_directory || op == Op::link || op == Op::sync;
        case Fault::short_write:
        case Fault::torn_write:
            return op == Op::write;
        case Fault::failed_sync:
            return op == Op::sync;
        case Fault::power_loss:
            return changes_files(op);
    }
    return false;
}

FileCalls::FileCalls(Options options)
    : options_(std::move(options)),
      volume_(options_.root),
      met_(options_.faults.size()) {}

FileCalls& FileCalls::begin(Options options) {
    DROVER_ASSERT(active == nullptr);
    // Never deleted: RocksDB's threads may still be on their way through it.
    auto* calls = new FileCalls(std::move(options));
    active = calls;
    return *calls;
}

void FileCalls::end() {
    active = nullptr;
}

void FileCalls::lose_power() {
    const std::lock_guard lock(mutex_);
    power_is_off = true;
    options_.on_power_loss(volume_);
}

std::vector<FileCalls::Site> FileCalls::history() {
    const std::lock_guard lock(mutex_);
    return history_;
}

bool FileCalls::lies_about(const std::string& path) const {
    if (options_.lies == Lies::of_everything) return true;
    return options_.lies == Lies::of_the_database && path.find("rocksdb") != std::string::npos;
}

Fault FileCalls::decide(Op op, const std::string& path) {
    const std::string site = to_string(op) + " " + file_class(path);
    history_.push_back({op, site});
    Fault decided = Fault::none;
    for (std::size_t i = 0; i < options_.faults.size(); ++i) {
        const PlannedFault& planned = options_.faults[i];
        if (!applies(planned.fault, op)) continue;
        const bool elsewhere = !planned.site.empty() && planned.site != site;
        if (elsewhere && met_[i] < planned.at) continue;
        const std::uint64_t number = ++met_[i];
        if (number == planned.at || (planned.lasting && number > planned.at))
            decided = planned.fault;
    }
    if (decided == Fault::none) return decided;
    if (options_.on_fault) options_.on_fault(site);
    if (decided == Fault::power_loss) {
        power_is_off = true;
        options_.on_power_loss(volume_);
    }
    return decided;
}

}  // namespace drover::eventlog::testing
