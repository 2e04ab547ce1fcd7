// Points under live writes on two loop disks. A writer writes n to a place on one disk, waits until
// that is acknowledged, then writes n to the same place on the other disk. A power cut can leave
// the second one behind by one, never ahead: what a quiet window calls a point must be so
// everywhere. The end of a pass is no point, and the same look at it shows that. Events are lost
// all the while: some by the test, some perhaps by the host.
#include "replicator/quiet_window.h"
#include "tests/replicator/ebpf_bench.h"

#include <array>
#include <chrono>
#include <cstring>
#include <thread>
#include <vector>

namespace drover::replicator {
namespace {

using Steady = std::chrono::steady_clock;

constexpr std::uint64_t places = 64;
constexpr std::size_t writers = 2;
constexpr auto test_time = std::chrono::seconds(4);
/// On a busy machine quiet moments are rare.
constexpr auto test_time_max = std::chrono::seconds(40);
constexpr std::uint64_t points_wanted = 12;
// Above what the writers write, one block for each event that the test takes back.
constexpr std::uint64_t private_block = 6100;
constexpr std::uint64_t losses_max = 500;
constexpr std::uint64_t rounds_per_loss = 20;

/// Far from one another, in another order on each disk.
std::uint64_t offset_of(std::size_t disk, std::uint64_t place) {
    return (disk == 0 ? place * 97 : (places - place) * 61) % 6000 * block_bytes;
}

/// One of two disks that are written in pairs, and the copy that is made of it.
struct Half {
    std::unique_ptr<Bench> bench = Bench::make();
    std::unique_ptr<ChangeTracker> tracker;
    std::unique_ptr<Counters> counters;
    Fd reader;
    Bytes copy;

    [[nodiscard]] bool open() {
        if (!bench) return false;
        tracker = bench->open();
        counters = std::make_unique<Counters>(bench->pins() / "counters");
        reader = bench->disk().open();
        copy = bench->disk().contents();
        return true;
    }

    [[nodiscard]] std::uint64_t number_at(std::uint64_t offset) const {
        std::uint64_t number = 0;
        std::memcpy(&number, copy.data() + offset, sizeof(number));
        return number;
    }

    /// Takes, then reads. Returns the blocks copied.
    std::uint64_t copy_dirty() {
        std::uint64_t copied = 0;
        DirectBuffer block(block_bytes);
        BlockMap map = tracker->dirty();
        for (std::size_t word = 0; word < words_of(map.blocks()); ++word) {
            if (map.word(word) == 0) continue;
            const std::uint64_t bits = map.take_word(word);
            for (std::uint64_t bit = 0; bit < 64; ++bit) {
                if ((bits >> bit & 1) == 0) continue;
                const std::uint64_t offset = (word * 64 + bit) * block_bytes;
                const std::uint64_t length = std::min(block_bytes, disk_bytes - offset);
                REQUIRE(::pread(reader.get(), block.bytes().data(), length,
                                static_cast<off_t>(offset)) == static_cast<ssize_t>(length));
                std::ranges::copy(block.bytes().first(length),
                                  copy.begin() + static_cast<std::ptrdiff_t>(offset));
                ++copied;
            }
        }
        return copied;
    }
};

bool write_number(const Fd& fd, std::uint64_t offset, std::uint64_t number, DirectBuffer& block) {
    std::memcpy(block.bytes().data(), &number, sizeof(number));
    return ::pwrite(fd.get(), block.bytes().data(), block_bytes, static_cast<off_t>(offset)) ==
           static_cast<ssize_t>(block_bytes);
}

/// Pairs in order, at its own places, with a pause now and then so that there are quiet moments.
void write_pairs(const std::array<Half, 2>& halves, std::size_t writer, std::atomic<bool>& stop,
                 std::atomic<std::uint64_t>& pairs) {
    const std::array<Fd, 2> disks = {halves[0].bench->disk().open(),
                                     halves[1].bench->disk().open()};
    DirectBuffer block(block_bytes);
    std::ranges::fill(block.bytes(), std::uint8_t{0});
    SeededRandom random(writer + 1);
    std::array<std::uint64_t, places> numbers{};
    while (!stop) {
        const std::uint64_t place = random.below(places / writers) * writers + writer;
        ++numbers[place];
        for (std::size_t disk = 0; disk < 2; ++disk)
            if (!write_number(disks[disk], offset_of(disk, place), numbers[place], block))
                std::abort();
        ++pairs;
        if (random.below(4) == 0)
            std::this_thread::sleep_for(std::chrono::microseconds(random.below(4000)));
    }
}

std::uint64_t violations(const std::array<Half, 2>& halves) {
    std::uint64_t found = 0;
    for (std::uint64_t place = 0; place < places; ++place) {
        const std::uint64_t first = halves[0].number_at(offset_of(0, place));
        const std::uint64_t second = halves[1].number_at(offset_of(1, place));
        if (first != second && first != second + 1) ++found;
    }
    return found;
}

struct Figures {
    std::uint64_t points = 0, rounds = 0, copied = 0, lost_audits = 0, repairs = 0, undone = 0;
    std::uint64_t points_with_news = 0, copied_at_point = 0;
    std::uint64_t wrong_points = 0, wrong_passes = 0;
    Steady::duration gap_max{};
};

void one_round(std::array<Half, 2>& halves, QuietWindow& window, Figures& figures,
               Steady::time_point& last_point) {
    window.begin();
    for (Half& half : halves) figures.copied += half.copy_dirty();
    const QuietWindow::Sight sight = must(window.look());
    ++figures.rounds;
    for (const Audit& audit : sight.audits) {
        if (audit.verdict == Audit::Verdict::lost) ++figures.lost_audits;
        if (audit.verdict == Audit::Verdict::repaired) ++figures.repairs;
    }
    const bool is_wrong = violations(halves) > 0;
    if (!sight.is_quiet) {
        figures.wrong_passes += is_wrong ? 1 : 0;
        return;
    }
    ++figures.points;
    if (figures.copied > figures.copied_at_point) ++figures.points_with_news;
    figures.copied_at_point = figures.copied;
    figures.wrong_points += is_wrong ? 1 : 0;
    const auto now = Steady::now();
    figures.gap_max = std::max(figures.gap_max, now - last_point);
    last_point = now;
}

}  // namespace

TEST_CASE("ebpf: at every point under live writes the order of writes holds on both disks") {
    std::array<Half, 2> halves;
    for (Half& half : halves)
        if (!half.open()) return;
    QuietWindow window({halves[0].tracker.get(), halves[1].tracker.get()});
    REQUIRE(window.is_possible());
    std::atomic<bool> stop = false;
    std::atomic<std::uint64_t> pairs = 0;
    std::vector<std::thread> threads;
    for (std::size_t writer = 0; writer < writers; ++writer)
        threads.emplace_back([&, writer] { write_pairs(halves, writer, stop, pairs); });
    Figures figures;
    const auto began = Steady::now();
    auto last_point = began;
    const auto has_enough = [&] {
        return figures.points_with_news >= points_wanted && figures.repairs > 0;
    };
    while (Steady::now() < began + test_time ||
           (Steady::now() < began + test_time_max && !has_enough())) {
        one_round(halves, window, figures, last_point);
        if (figures.rounds % rounds_per_loss != 0 || figures.undone == losses_max) continue;
        const Half& half = halves[figures.undone % 2];
        const std::uint64_t block = private_block + figures.undone;
        figures.undone +=
            lose_event(half.bench->disk(), *half.tracker, *half.counters, block) ? 1 : 0;
    }
    stop = true;
    for (std::thread& thread : threads) thread.join();
    // With no writer left the next rounds end in a point at which nothing differs.
    const std::uint64_t before = figures.points;
    for (int i = 0; i < audits_max && figures.points == before; ++i)
        one_round(halves, window, figures, last_point);
    CHECK(figures.points > before);
    for (const Half& half : halves) CHECK((half.bench->disk().contents() == half.copy));
    CHECK(figures.wrong_points == 0);
    CHECK(figures.points_with_news >= points_wanted);
    CHECK(figures.undone > 0);
    CHECK(figures.repairs > 0);
    // The negative control.
    CHECK(figures.wrong_passes > 0);
    const auto gap = std::chrono::duration_cast<std::chrono::milliseconds>(figures.gap_max).count();
    WARN("pairs " << pairs << ", points with news " << figures.points_with_news << " (wrong "
                  << figures.wrong_points << "), rounds that were none "
                  << figures.rounds - figures.points << " (wrong " << figures.wrong_passes
                  << "), blocks copied " << figures.copied << ", longest gap " << gap
                  << " ms, events undone by the test " << figures.undone << ", repairs "
                  << figures.repairs << ", lost audits " << figures.lost_audits);
}

}  // namespace drover::replicator
