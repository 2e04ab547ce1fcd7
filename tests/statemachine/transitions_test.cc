#include "base/file.h"
#include "samples.h"
#include "scenario.h"
#include "statemachine/diagram.h"
#include "statemachine/staying_facts.h"

#include <catch2/catch.hpp>

namespace drover::statemachine::testing {
namespace {

// Written by hand from the life cycle, not from the code. One column for each phase, in their
// order, with the letter by which a cell names a phase it goes to:
//   P planned  B blocked  R ready  M mirroring  S syncing  T testing  A armed  F fencing  D
//   draining V verifying  X activating  W validating  H holding  C committed  K rolling_back r
//   reverse_draining  v reverse_verifying  Z rolled_back  N cancelled
// '.' cannot happen, '=' happens and stays.
constexpr std::string_view phase_letters = "PBRMSTAFDVXWHCKrvZN";

struct Row {
    EventKind kind;
    std::string_view cells;
};

constexpr Row expected[] = {
    //                               PBRMSTAFDVXWHCKrvZN
    {EventKind::job_planned, "=.................."},
    {EventKind::preflight_passed, "RR=................"},
    {EventKind::preflight_failed, "B=B................"},
    {EventKind::mirror_started, "..M................"},
    {EventKind::mirror_completed, "...S..............."},
    {EventKind::test_started, "....T.............."},
    {EventKind::test_reverted, ".....S............="},
    {EventKind::cutover_armed, "....A.=............"},
    {EventKind::disarmed, "......S............"},
    {EventKind::cutover_started, "......F............"},
    {EventKind::source_fenced, "....===D......=..=="},
    {EventKind::fence_refused, ".......A..........."},
    {EventKind::delta_drained, "........V.........."},
    {EventKind::target_verified, ".........X........."},
    {EventKind::mismatch_found, ".........D........."},
    {EventKind::target_activated, "....===...W...====="},
    {EventKind::target_validated, "...........H......."},
    {EventKind::validation_waived, "...........H......."},
    {EventKind::committed, "............C......"},
    {EventKind::rollback_started, ".......KKKKKK......"},
    {EventKind::source_released, "....===.......Z..=="},
    {EventKind::target_fenced, "..............r...."},
    {EventKind::reverse_drained, "...............v..."},
    {EventKind::reverse_verified, "................K.."},
    {EventKind::reverse_abandoned, "..............=KK.."},
    {EventKind::resync_started, ".................S."},
    {EventKind::cancelled, "NNNNNNN..........N."},
    {EventKind::preflight_checked, "===................"},
    {EventKind::paused, "=============.====."},
    {EventKind::resumed, "=============.====."},
    {EventKind::parked, "==================="},
    {EventKind::unparked, "==================="},
    {EventKind::quarantined, "==================="},
    {EventKind::quarantine_lifted, "==================="},
    {EventKind::limits_changed, "=============.====."},
    {EventKind::retry_started, "==================="},
    {EventKind::data_state_changed, "...=======........."},
    {EventKind::generation_lost, "...==========.====."},
    {EventKind::activation_failed, "..........=........"},
    {EventKind::validation_failed, "...........=......."},
    {EventKind::deadline_passed, ".......======......"},
    {EventKind::agent_lost, "==================="},
    {EventKind::agent_back, "==================="},
    {EventKind::target_stop_confirmed, "..............=...."},
    {EventKind::target_deactivated, "....==============="},
    {EventKind::fence_breached, ".......==========.."},
    {EventKind::fence_broken, ".......==========.."},
    {EventKind::cleaned_up, ".............=....="},
    {EventKind::deletion_started, ".................=="},
    {EventKind::target_data_deleted, ".................=="},
    {EventKind::command_rejected, "==================="},
    {EventKind::reconcile_started, "==================="},
    {EventKind::world_seen, "==================="},
    {EventKind::reconciled, "==================="},
    {EventKind::resolved_to_target, "CCCCCCCCCCCCC=CCCC="},
    {EventKind::resolved_to_source, "NNNNNNNNNNNNN=NNNN="},
    {EventKind::resolved_to_neither, "NNNNNNNNNNNNN=NNNN="},
    {EventKind::test_ready, ".....=............."},
    {EventKind::test_revert_started, ".....=............."},
    {EventKind::hold_compared, "............=......"},
    {EventKind::copy_differs, "............=......"},
    {EventKind::comparison_waived, "............=......"},
};

std::optional<Phase> expected_next(Phase phase, const Row& row) {
    const auto column = static_cast<std::size_t>(phase);
    const char cell = row.cells.at(column);
    if (cell == '.') return std::nullopt;
    if (cell == '=') return phase;
    return static_cast<Phase>(phase_letters.find(cell));
}

}  // namespace

TEST_CASE("transitions: every pair of phase and fact does what the life cycle says") {
    REQUIRE(std::size(expected) == event_kind_count);
    std::size_t pairs = 0;
    for (const Row& row : expected) {
        for (unsigned i = 0; i < phase_count; ++i) {
            const auto phase = static_cast<Phase>(i);
            INFO(name_of(row.kind) << " in " << name_of(phase));
            REQUIRE(next_phase(phase, row.kind) == expected_next(phase, row));
            ++pairs;
        }
    }
    REQUIRE(pairs == 19U * 62U);
}

TEST_CASE("transitions: what moves a phase is what MSM answers, and MSM answers nothing else") {
    std::size_t moves = 0;
    for (const Row& row : expected) {
        for (unsigned i = 0; i < phase_count; ++i) {
            const auto phase = static_cast<Phase>(i);
            INFO(name_of(row.kind) << " in " << name_of(phase));
            const auto next = next_phase(phase, row.kind);
            const auto moved = moved_phase(phase, row.kind);
            const bool moves_by_table = next != phase && !ended_phase(phase, row.kind);
            REQUIRE(moved == (moves_by_table ? next : std::nullopt));
            if (moved) ++moves;
        }
    }
    REQUIRE(moves == transition_rows().size());
    for (const TransitionRow& row : transition_rows()) {
        REQUIRE(next_phase(row.from, row.event) == row.to);
    }
}

TEST_CASE(
    "transitions: evolve follows the table for every pair and changes nothing where it refuses") {
    const std::vector<Event> samples = sample_events();
    for (unsigned i = 0; i < phase_count; ++i) {
        const auto phase = static_cast<Phase>(i);
        const Scenario scenario = at(phase);
        REQUIRE(scenario.job().phase == phase);
        for (const Row& row : expected) {
            const Event& event = samples.at(static_cast<std::size_t>(row.kind) - 1);
            REQUIRE(kind_of(event) == row.kind);
            INFO(name_of(row.kind) << " in " << name_of(phase));
            Job job = scenario.job();
            const auto evolved = evolve(job, event, {99, bytes_of<Hash>(9), start_micros});
            const auto next = expected_next(phase, row);
            // A job is planned once, although the table allows the fact in the first phase.
            if (!next || row.kind == EventKind::job_planned) {
                REQUIRE(evolved.has_error());
                REQUIRE(evolved.error().id() == "history_not_legal");
                REQUIRE(job == scenario.job());
            } else {
                REQUIRE(evolved.has_value());
                REQUIRE(job.phase == *next);
                REQUIRE(job.version == scenario.job().version + 1);
                REQUIRE(digest_of(job) != digest_of(scenario.job()));
            }
        }
    }
}

TEST_CASE("transitions: before a job is planned nothing else can happen to it") {
    for (const Event& event : sample_events()) {
        Job job;
        const bool planned = evolve(job, event, {11, bytes_of<Hash>(9), start_micros}).has_value();
        REQUIRE(planned == (kind_of(event) == EventKind::job_planned));
    }
}

TEST_CASE(
    "transitions: every phase is reachable, and from every phase that is not final there is a way "
    "out") {
    for (unsigned i = 0; i < phase_count; ++i) {
        const auto phase = static_cast<Phase>(i);
        INFO(name_of(phase));
        bool entered = phase == Phase::planned;
        bool left = is_final(phase);
        for (const TransitionRow& row : transition_rows()) {
            if (row.to == phase) entered = true;
            if (row.from == phase) left = true;
            REQUIRE_FALSE(is_final(row.from));
        }
        REQUIRE(entered);
        REQUIRE(left);
        if (is_in_cutover(phase)) {
            REQUIRE(next_phase(phase, EventKind::rollback_started) == Phase::rolling_back);
        }
    }
}

TEST_CASE("transitions: docs/state-machine.md is the generated one") {
    const auto document = read_file(DROVER_SOURCE_DIR "/docs/state-machine.md", 1U << 20);
    REQUIRE(document.has_value());
    REQUIRE(std::string(as_text(*document)) == state_machine_document());
}

}  // namespace drover::statemachine::testing
