/// Which codec the next piece of data deserves, from what the last ones took: the codec's cost per
/// byte against the time that the link would have needed for what the codec saves.
///
///   read ─► sample ─► choose ─► compress ─► send        a byte costs the longer of both waits:
///     └───────── note ◄────────────────────┘            reader + codec, or link x ratio
///
/// Raw where the link is fast, LZ4 at about 1 Gbit/s, Zstandard below. The link's speed is learned
/// while the socket makes the sender wait, and taken to be higher whenever it does not. A slow disk
/// behind a fast link looks like a slow link, but compression does not help it: what does not pay
/// is left alone for a while. Pure: times and waits are arguments.
#pragma once

#include "base/clock.h"
#include "replicator/frame.h"

#include <array>
#include <cstdint>

namespace drover::replicator {

enum class BulkMethod : std::uint8_t { raw = 0, lz4 = 1, zstd_fast = 2, zstd_dense = 3 };

constexpr std::size_t bulk_methods = 4;

class CompressionPolicy {
  public:
    explicit CompressionPolicy(BulkCodecs codecs)
        : codecs_(codecs) {}

    /// A piece that was sent: what it became, and what that took. Milliseconds are coarse for one
    /// piece; only the sums over a window are used.
    struct Piece {
        BulkMethod method = BulkMethod::raw;
        std::uint64_t raw_bytes = 0;
        std::uint64_t wire_bytes = 0;
        double sampled_ratio = 1;  ///< as given to choose()
        std::int64_t codec_ms = 0;
        std::int64_t send_ms = 0;  ///< until the socket had taken it
    };

    /// `link_bytes_per_s_max`: what the link may carry at most; 0: no limit. False: raw, and no
    /// sample is needed to know it.
    [[nodiscard]] bool may_pay(std::uint64_t link_bytes_per_s_max, SteadyMillis now) const;
    /// `sampled_ratio`: what LZ4 leaves of a sample, 0..1.
    [[nodiscard]] BulkMethod choose(double sampled_ratio, std::uint64_t link_bytes_per_s_max,
                                    SteadyMillis now) const;

    /// What reading the data took that the next pieces are cut from.
    void note_read(std::int64_t ms) { window_.read_ms += ms; }

    void note_sent(const Piece& piece, SteadyMillis now);

    /// A sample that LZ4 leaves more of is not worth it.
    static constexpr double ratio_max = 1 / 1.15;
    /// Time that is counted until what was learned is used.
    static constexpr std::int64_t window_ms = 100;
    /// One window goes raw so often, to see what the link takes without compression.
    static constexpr std::int64_t look_again_ms = 60'000;
    /// So long nothing is compressed that did not pay; twice as long each time.
    static constexpr std::int64_t hold_ms_min = 10'000;
    static constexpr std::int64_t hold_ms_max = 300'000;

  private:
    struct Window {
        std::int64_t read_ms = 0;
        std::int64_t codec_ms = 0;
        std::int64_t send_ms = 0;
        std::uint64_t raw_bytes = 0;
        std::uint64_t wire_bytes = 0;
        std::uint64_t compressed_bytes = 0;  ///< raw bytes that were
    };

    /// Per raw byte, in nanoseconds and as a part; first guesses are of one core of 2020.
    struct Method {
        double cost_ns = 0;
        double ratio_of_sample = 1;  ///< what it leaves / what LZ4 left of the sample
        std::uint64_t bytes = 0;     ///< of the present window
        std::int64_t ms = 0;
    };

    [[nodiscard]] bool offers(BulkMethod method) const;
    [[nodiscard]] double cost_ns(BulkMethod method, double sampled_ratio, double link_ns) const;
    [[nodiscard]] double link_ns(std::uint64_t link_bytes_per_s_max) const;
    void end_window(SteadyMillis now);
    void learn_link(double total_ms, bool waited);
    void judge(double raw_bytes_per_ms, SteadyMillis now);

    BulkCodecs codecs_;
    Window window_;
    std::array<Method, bulk_methods> methods_{
        {{0, 1, 0, 0}, {2.6, 1, 0, 0}, {4.2, 0.8, 0, 0}, {7.1, 0.7, 0, 0}}};
    double read_ns_ = 0;
    double link_ns_ = 0;       ///< per byte on the wire; 0: the socket never made anybody wait
    bool is_settled_ = false;  ///< buffers on the way are full, so that the link is what is seen
    double raw_bytes_per_ms_ = 0;  ///< of the last raw window in which the socket was waited for
    SteadyMillis looked_ms_ = 0;   ///< when that was
    int unpaid_ = 0;               ///< windows in a row
    std::int64_t hold_ms_ = hold_ms_min;
    SteadyMillis held_until_ms_ = 0;
};

}  // namespace drover::replicator
