#include "bench/replica_pair.h"

#include "bench/measure.h"
#include "bench/target_questions.h"
#include "bench/tcp_link.h"
#include "replicator/target_replica.h"
#include "wire/tls_link.h"

#include <algorithm>
#include <array>
#include <csignal>
#include <thread>

#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace drover::bench {
namespace {

constexpr std::int64_t ticket_life_micros = 3'600'000'000;
constexpr const char* source_agent = "source";
constexpr const char* target_agent = "target";
constexpr const char* boot_id = "bench";
/// By which bench/run finds the pinned maps of a run that failed.
constexpr std::array<std::uint8_t, 4> job_prefix = {0xbe, 0xbe, 0xbe, 0xbe};

template <class T>
T must(Result<T> result) {
    if (!result) fail(result.error().text());
    return std::move(*result);
}

/// Reading a link's first frame may take long: never on the listener's own thread.
using Admit = void (replicator::PeerGate::*)(std::unique_ptr<wire::Link>);

std::function<void(std::unique_ptr<wire::Link>)> admitting(replicator::PeerGate& gate,
                                                           Admit admit) {
    return [&gate, admit](std::unique_ptr<wire::Link> link) {
        std::thread([&gate, admit, held = std::move(link)]() mutable {
            (gate.*admit)(std::move(held));
        }).detach();
    };
}

std::unique_ptr<wire::TlsListener> listen(const wire::TlsIdentity& identity,
                                          std::size_t frame_bytes_max,
                                          wire::TlsListener::Accept accept) {
    wire::ListenOptions options;
    options.host = "127.0.0.1";
    options.frame_bytes_max = frame_bytes_max;
    return must(wire::listen_tls(identity, options, std::move(accept)));
}

}  // namespace

Pair::Pair(PairOptions options)
    : options_(std::move(options)),
      authority_(must(wire::create_authority("bench", clock_.wall_micros()))),
      key_(must(wire::make_signing_key())),
      source_identity_(identity_of(source_agent)) {
    std::filesystem::create_directories(options_.directory);
    ticket_.job = random_.uuid();
    std::ranges::copy(job_prefix, ticket_.job.data.begin());
    ticket_.lineage = random_.uuid();
    ticket_.job_name = "bench";
    ticket_.serial = 1;
    ticket_.source_agent = source_agent;
    ticket_.target_agent = target_agent;
    ticket_.disks.push_back({options_.source, options_.target});
    ticket_.sizes_bytes.push_back(
        must(replicator::open_device(options_.source, replicator::Access::read_only))
            ->facts()
            .size_bytes);
    ticket_.not_after_micros = clock_.wall_micros() + ticket_life_micros;
    ticket_.signature = must(wire::sign(key_.key_pem, ticket_message(ticket_)));
    start_target();
}

Pair::~Pair() {
    forget_source();
    ::kill(target_, SIGKILL);
    ::waitpid(target_, nullptr, 0);
    std::filesystem::remove_all(options_.directory);
}

wire::TlsIdentity Pair::identity_of(const std::string& agent) const {
    const auto request = must(wire::make_agent_request(agent));
    const auto certificate = must(wire::issue_agent(authority_, request.request_pem, agent,
                                                    {"127.0.0.1"}, clock_.wall_micros()));
    return {authority_.certificate_pem, certificate, request.key_pem};
}

// ---- the target's process ----

void Pair::start_target() {
    int ends[2] = {-1, -1};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        fail("cannot make a socket");
    std::fflush(nullptr);
    target_ = ::fork();
    if (target_ < 0) fail("cannot fork");
    if (target_ == 0) {
        ::close(ends[0]);
        serve_target(Fd(ends[1]));
    }
    ::close(ends[1]);
    to_target_ = Fd(ends[0]);
    receive(to_target_, ports_);
}

void Pair::serve_target(Fd parent) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    replicator::TargetConfig config;
    config.ticket = ticket_;
    config.disks.push_back(
        must(replicator::open_device(options_.target, replicator::Access::read_write)));
    config.state_directory = options_.directory / target_agent;
    config.overwrite_acknowledged = true;
    config.journal = options_.journal;
    const std::shared_ptr<replicator::TargetReplica> target =
        must(replicator::open_target_replica(std::move(config), clock_, random_));
    replicator::PeerGate gate(
        {target_agent, key_.public_pem, 10'000}, [&](const Ticket&) { return target; }, clock_);
    const auto control = admitting(gate, &replicator::PeerGate::admit_control);
    const auto bulk = admitting(gate, &replicator::PeerGate::admit_bulk);
    std::unique_ptr<wire::TlsListener> tls_control;
    std::unique_ptr<wire::TlsListener> tls_bulk;
    std::unique_ptr<PlainListener> plain_control;
    std::unique_ptr<PlainListener> plain_bulk;
    Ports ports;
    if (options_.tls) {
        const auto identity = identity_of(target_agent);
        tls_control = listen(identity, wire::control_frame_bytes_max, control);
        tls_bulk = listen(identity, wire::bulk_frame_bytes_max, bulk);
        ports = {tls_control->port(), tls_bulk->port()};
    } else {
        const auto peer = wire::agent_identity(source_agent);
        plain_control = std::make_unique<PlainListener>(peer, control);
        plain_bulk = std::make_unique<PlainListener>(peer, bulk);
        ports = {plain_control->port(), plain_bulk->port()};
    }
    send(parent, ports);
    answer_questions(parent, *target);
}

void Pair::watch_points() {
    ask_to_watch(to_target_);
}

std::vector<Point> Pair::points_seen() {
    return ask_points(to_target_, Question::points_seen);
}

std::vector<Point> Pair::points_kept() {
    return ask_points(to_target_, Question::points_kept);
}

void Pair::restore(const Point& point) {
    ask_restore(to_target_, point.batch);
}

// ---- the source ----

Result<std::unique_ptr<wire::Link>> Pair::dial_counted(const wire::DialOptions& to) {
    TRY(auto link, wire::dial_tls(source_identity_, to));
    return counted(std::move(link), wire_bytes_);
}

Result<replicator::PeerLinks> Pair::dial() {
    replicator::PeerLinks links;
    const auto peer = wire::agent_identity(target_agent);
    if (options_.tls) {
        wire::DialOptions to;
        to.host = "127.0.0.1";
        to.expected_peer = peer;
        to.port = ports_.control;
        TRY(links.control, wire::dial_tls(source_identity_, to));
        to.port = ports_.bulk;
        to.frame_bytes_max = wire::bulk_frame_bytes_max;
        links.dial_bulk = [this, to] { return dial_counted(to); };
    } else {
        links.control = dial_plain(ports_.control, peer);
        links.dial_bulk = [this, peer]() -> Result<std::unique_ptr<wire::Link>> {
            return counted(dial_plain(ports_.bulk, peer), wire_bytes_);
        };
    }
    links.control = counted(std::move(links.control), wire_bytes_);
    TRY(links.bulk, links.dial_bulk());
    return links;
}

void Pair::start_source() {
    {
        const std::lock_guard lock(mutex_);
        mirrored_us_ = 0;
    }
    replicator::SourceConfig config;
    config.ticket = ticket_;
    config.state_directory = options_.directory / source_agent;
    config.boot_id = boot_id;
    config.overwrite_acknowledged = true;
    config.pacing.walk_bytes_per_s = 0;
    config.streams = options_.streams;
    config.dial = [this] { return dial(); };
    replicator::SourceDisk disk;
    disk.device = must(replicator::open_device(options_.source, replicator::Access::read_only));
    replicator::TrackerOptions options;
    options.job = ticket_.job;
    options.state_directory = config.state_directory;
    options.boot_id = boot_id;
    std::filesystem::create_directories(config.state_directory);
    std::string why_not_ebpf;
    disk.tracker = must(replicator::open_tracker(*disk.device, options, &why_not_ebpf));
    if (!why_not_ebpf.empty()) fail("no block tracepoints here: " + why_not_ebpf);
    tracker_kind_ = disk.tracker->kind();
    config.disks.push_back(std::move(disk));
    source_ = must(replicator::open_source_replica(std::move(config), *this, clock_, random_));
}

void Pair::forget_source() {
    if (source_) source_->forget();
    source_.reset();
}

double Pair::wait_mirrored() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return mirrored_us_ > 0; });
    return mirrored_us_;
}

DrainDone Pair::drain() {
    DrainDone done = must(source_->drain({}));
    if (done.bytes_unverified != 0 || done.bytes_differed != 0)
        fail("the target could not prove what it wrote");
    return done;
}

VerifyDone Pair::verify() {
    VerifyDone done = must(source_->verify());
    if (!done.mismatches.empty()) fail("drover's comparison found a difference");
    return done;
}

void Pair::set_mode(ReplicateMode mode) {
    source_->update(ticket_, mode, {}, true);
}

void Pair::hold() {
    set_mode(ReplicateMode::connected);
}

void Pair::go_on() {
    set_mode(ReplicateMode::transfer);
}

Progress Pair::last_progress() {
    const std::lock_guard lock(mutex_);
    return progress_;
}

void Pair::mirror_done(const MirrorDone&) {
    const std::lock_guard lock(mutex_);
    mirrored_us_ = now_us();
    changed_.notify_all();
}

void Pair::generation_gone(const GenerationGone& gone) {
    std::fprintf(stderr, "bench: the disk is compared: %s\n", gone.cause.c_str());
}

void Pair::progress(const Progress& progress) {
    const std::lock_guard lock(mutex_);
    progress_ = progress;
}

}  // namespace drover::bench
