#include "replicator/compression_policy.h"

#include <algorithm>

namespace drover::replicator {
namespace {

/// The socket is what is waited for, if it takes this part of the time.
constexpr double waiting_part = 1.0 / 8;
/// A costlier method has to be so much better, and compression as a whole so much worth it.
constexpr double gain_min = 1.1;
/// Without waiting a link is taken to be so much faster, window by window.
constexpr double faster = 0.8;
constexpr int unpaid_max = 2;
/// Of data that compresses well: no better guess without a sample.
constexpr double good_ratio = 0.4;

double blended(double before, double now) {
    return before == 0 ? now : (before + now) / 2;
}

std::size_t at(BulkMethod method) {
    return static_cast<std::size_t>(method);
}

}  // namespace

bool CompressionPolicy::offers(BulkMethod method) const {
    switch (method) {
        case BulkMethod::raw:
            return true;
        case BulkMethod::lz4:
            return codecs_.lz4;
        case BulkMethod::zstd_fast:
        case BulkMethod::zstd_dense:
            return codecs_.zstd;
    }
    return false;
}

double CompressionPolicy::link_ns(std::uint64_t link_bytes_per_s_max) const {
    const double learned = is_settled_ ? link_ns_ : 0;
    if (link_bytes_per_s_max == 0) return learned;
    return std::max(learned, 1e9 / static_cast<double>(link_bytes_per_s_max));
}

double CompressionPolicy::cost_ns(BulkMethod method, double sampled_ratio, double link_ns) const {
    const Method& facts = methods_[at(method)];
    const double ratio =
        method == BulkMethod::raw ? 1 : std::min(1.0, sampled_ratio * facts.ratio_of_sample);
    return std::max(read_ns_ + facts.cost_ns, ratio * link_ns);
}

bool CompressionPolicy::may_pay(std::uint64_t link_bytes_per_s_max, SteadyMillis now) const {
    return choose(good_ratio, link_bytes_per_s_max, now) != BulkMethod::raw;
}

BulkMethod CompressionPolicy::choose(double sampled_ratio, std::uint64_t link_bytes_per_s_max,
                                     SteadyMillis now) const {
    const bool looks_again = link_ns_ > 0 && now - looked_ms_ >= look_again_ms;
    if (sampled_ratio > ratio_max || now < held_until_ms_ || looks_again) return BulkMethod::raw;
    const double link = link_ns(link_bytes_per_s_max);
    BulkMethod best = BulkMethod::raw;
    double best_ns = cost_ns(best, sampled_ratio, link);
    for (const BulkMethod method :
         {BulkMethod::lz4, BulkMethod::zstd_fast, BulkMethod::zstd_dense}) {
        if (!offers(method)) continue;
        const double ns = cost_ns(method, sampled_ratio, link);
        if (ns * gain_min >= best_ns) continue;
        best = method;
        best_ns = ns;
    }
    return best;
}

void CompressionPolicy::note_sent(const Piece& piece, SteadyMillis now) {
    window_.codec_ms += piece.codec_ms;
    window_.send_ms += piece.send_ms;
    window_.raw_bytes += piece.raw_bytes;
    window_.wire_bytes += piece.wire_bytes;
    if (piece.method != BulkMethod::raw) {
        window_.compressed_bytes += piece.raw_bytes;
        Method& facts = methods_[at(piece.method)];
        facts.bytes += piece.raw_bytes;
        facts.ms += piece.codec_ms;
        const double found = static_cast<double>(piece.wire_bytes) /
                             static_cast<double>(piece.raw_bytes) /
                             std::max(piece.sampled_ratio, 0.01);
        facts.ratio_of_sample += (std::min(found, 2.0) - facts.ratio_of_sample) / 16;
    }
    if (window_.read_ms + window_.codec_ms + window_.send_ms >= window_ms) end_window(now);
}

void CompressionPolicy::learn_link(double total_ms, bool waited) {
    if (waited) {
        link_ns_ = blended(link_ns_, total_ms * 1e6 / static_cast<double>(window_.wire_bytes));
    } else {
        link_ns_ *= faster;
    }
}

/// Compression is for more data in the same time, and for nothing else.
void CompressionPolicy::judge(double raw_bytes_per_ms, SteadyMillis now) {
    const bool pays = raw_bytes_per_ms >= raw_bytes_per_ms_ * gain_min;
    unpaid_ = pays ? 0 : unpaid_ + 1;
    if (pays) hold_ms_ = hold_ms_min;
    if (unpaid_ < unpaid_max) return;
    unpaid_ = 0;
    held_until_ms_ = now + hold_ms_;
    hold_ms_ = std::min(2 * hold_ms_, hold_ms_max);
}

void CompressionPolicy::end_window(SteadyMillis now) {
    const double busy_ms = static_cast<double>(window_.read_ms + window_.codec_ms);
    const double total_ms = busy_ms + static_cast<double>(window_.send_ms);
    const bool waited = static_cast<double>(window_.send_ms) >= total_ms * waiting_part;
    const double raw_bytes = static_cast<double>(window_.raw_bytes);
    const double raw_bytes_per_ms = raw_bytes / total_ms;
    read_ns_ = blended(read_ns_, static_cast<double>(window_.read_ms) * 1e6 / raw_bytes);
    for (Method& method : methods_) {
        // Little data says little about a clock this coarse.
        constexpr std::uint64_t bytes_min = 4U << 20;
        if (method.bytes < bytes_min) continue;
        method.cost_ns = blended(method.cost_ns, static_cast<double>(method.ms) * 1e6 /
                                                     static_cast<double>(method.bytes));
        method.bytes = 0;
        method.ms = 0;
    }
    learn_link(total_ms, waited);
    if (window_.compressed_bytes == 0 && waited) {
        is_settled_ = is_settled_ ||
                      (raw_bytes_per_ms_ > 0 && raw_bytes_per_ms * gain_min >= raw_bytes_per_ms_);
        raw_bytes_per_ms_ = raw_bytes_per_ms;
        looked_ms_ = now;
    } else if (window_.compressed_bytes == 0) {
        looked_ms_ = now;
        raw_bytes_per_ms_ = 0;
        is_settled_ = false;
    } else if (waited && window_.compressed_bytes * 2 > window_.raw_bytes) {
        judge(raw_bytes_per_ms, now);
    }
    window_ = {};
}

}  // namespace drover::replicator
