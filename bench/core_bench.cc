/// The orchestrator at scale, on its real log.
///
///   core-bench make DIRECTORY EVENTS    a log with whole lives of jobs
///   core-bench start DIRECTORY          from nothing to accepting commands, once
///   core-bench replay DIRECTORY         decoding and applying all events, from memory
///   core-bench jobs DIRECTORY JOBS      that many jobs alive in one orchestrator
///
/// Prints `name value` lines; bench/run makes tables of them.
#include "base/log.h"
#include "bench/fleet.h"
#include "bench/measure.h"
#include "eventlog/rocksdb_log.h"
#include "orchestrator/open_log.h"

#include <cstdio>
#include <cstdlib>

namespace drover::bench {
namespace {

constexpr std::size_t jobs_at_a_time = 400;

Uuid lineage_of_bench() {
    Uuid lineage;
    lineage.data.fill(0x42);
    return lineage;
}

std::unique_ptr<eventlog::EventLog> open(const std::string& directory) {
    auto log = eventlog::open_rocksdb_log(directory, {.ballast_bytes = 0});
    if (!log) fail(log.error().text());
    return std::move(*log);
}

std::unique_ptr<eventlog::EventLog> create(const std::string& directory) {
    if (const auto made = eventlog::create_rocksdb_log(directory, lineage_of_bench()); !made)
        fail(made.error().text());
    return open(directory);
}

void print(const char* name, double value) {
    std::printf("%s %.3f\n", name, value);
}

void make(const std::string& directory, eventlog::Seq events) {
    const auto log = create(directory);
    Fleet fleet(*log, {.signs = false}, 7);
    const double started = now_us();
    live(fleet, events, jobs_at_a_time);
    print("events", static_cast<double>(log->head().seq));
    print("jobs", static_cast<double>(fleet.core().state().jobs.size()));
    print("make_s", (now_us() - started) / 1e6);
}

/// What droverd does before it listens.
void start(const std::string& directory) {
    const double started = now_us();
    auto opened_log = orchestrator::open_log(directory, 0);
    if (!opened_log) fail(opened_log.error().text());
    const double opened = now_us();
    SystemClock clock;
    SystemRandom random;
    const auto sign = [](ByteView) -> Result<Bytes> { return Bytes(64); };
    const auto core = orchestrator::Core::start(
        {*opened_log->log, random, sign, {}, {}, std::move(opened_log->state)},
        {clock.wall_micros(), clock.steady_ms()});
    if (!core) fail(core.error().text());
    const double ended = now_us();
    print("open_s", (opened - started) / 1e6);
    print("core_s", (ended - opened) / 1e6);
    print("start_cpu_s", cpu_us() / 1e6);
    print("start_s", (ended - started) / 1e6);
    print("resident_mib", static_cast<double>(resident_bytes()) / (1 << 20));
}

void replay(const std::string& directory) {
    const auto log = open(directory);
    std::vector<eventlog::Record> records;
    const auto read = log->read(1, [&](const eventlog::Record& record) {
        records.push_back(record);
        return true;
    });
    if (!read) fail(read.error().text());
    const double started = now_us();
    history::State state;
    state.lineage = log->head().lineage;
    for (const eventlog::Record& record : records) {
        const auto fact = history::decode_record_fact(record);
        if (!fact) fail(fact.error().text());
        history::apply(state, record, *fact);
    }
    const double ended = now_us();
    print("replay_events_per_s", static_cast<double>(records.size()) / (ended - started) * 1e6);
    const auto folded = history::replay(*log);
    if (!folded || !(*folded == state)) fail("two replays differ");
    print("replay_from_log_events_per_s",
          static_cast<double>(records.size()) / (now_us() - ended) * 1e6);
}

/// Figures of one kind of command, given to every job in turn, one at a time: nothing is batched.
void print_commands(const std::string& name, const Fleet& fleet) {
    print((name + "_p50_us").c_str(), quantile(fleet.counters().command_us, 0.5));
    print((name + "_p99_us").c_str(), quantile(fleet.counters().command_us, 0.99));
}

void jobs(const std::string& directory, std::size_t count) {
    const auto log = create(directory);
    Fleet fleet(*log, {}, 7);
    const auto name_of = [](std::size_t i) { return "vm-" + std::to_string(i); };
    const auto in_chunks = [&](const auto& act) {
        for (std::size_t i = 0; i < count; ++i) {
            act(i);
            if ((i + 1) % jobs_at_a_time == 0 || i + 1 == count) fleet.settle();
        }
    };
    const std::uint64_t before = resident_bytes();
    in_chunks([&](std::size_t i) { fleet.plan(name_of(i), i); });
    fleet.forget_counters();
    double started = now_us();
    in_chunks([&](std::size_t i) { fleet.submit(name_of(i), statemachine::Start{}); });
    double spent = now_us() - started;
    print("start_effects_per_s", static_cast<double>(fleet.counters().effects) / spent * 1e6);
    print("start_reports_per_s", static_cast<double>(fleet.counters().reports) / spent * 1e6);
    if (fleet.count(statemachine::Phase::syncing) != count) fail("not every job is in sync");
    print("live_jobs", static_cast<double>(count));
    print("bytes_per_job",
          static_cast<double>(resident_bytes() - before) / static_cast<double>(count));
    fleet.forget_counters();
    for (std::size_t i = 0; i < std::min<std::size_t>(count, 2000); ++i) {
        fleet.submit(name_of(i * 4 % count), statemachine::Pause{});
        fleet.settle();
        fleet.submit(name_of(i * 4 % count), statemachine::Resume{});
        fleet.settle();
    }
    print_commands("command", fleet);
    fleet.forget_counters();
    started = now_us();
    in_chunks([&](std::size_t i) { fleet.waver(name_of(i)); });
    spent = now_us() - started;
    print("wavers_reports_per_s", static_cast<double>(fleet.counters().reports) / spent * 1e6);
    fleet.forget_counters();
    started = now_us();
    in_chunks([&](std::size_t i) { fleet.submit(name_of(i), statemachine::Cutover{}); });
    spent = now_us() - started;
    print("cutover_effects_per_s", static_cast<double>(fleet.counters().effects) / spent * 1e6);
    print("cutover_jobs_per_s", static_cast<double>(count) / spent * 1e6);
    print("turn_p50_us", quantile(fleet.counters().turn_us, 0.5));
    print("turn_p99_us", quantile(fleet.counters().turn_us, 0.99));
}

int run(int argc, char** argv) {
    const std::string what = argc > 1 ? argv[1] : "";
    const std::string directory = argc > 2 ? argv[2] : "";
    const auto number =
        static_cast<std::size_t>(argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 0);
    if (what == "make" && argc == 4)
        make(directory, number);
    else if (what == "start" && argc == 3)
        start(directory);
    else if (what == "replay" && argc == 3)
        replay(directory);
    else if (what == "jobs" && argc == 4)
        jobs(directory, number);
    else
        fail("core-bench make|start|replay|jobs DIRECTORY [EVENTS|JOBS]");
    return 0;
}

}  // namespace
}  // namespace drover::bench

int main(int argc, char** argv) {
    drover::log::set_level(drover::log::Level::warn);  // two agents a job connect
    return drover::bench::run(argc, argv);
}
