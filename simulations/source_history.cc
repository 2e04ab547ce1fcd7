#include "simulations/source_history.h"

#include "base/assert.h"

#include <algorithm>
#include <utility>

namespace drover::sim {
namespace {

/// Of a block. A target is far less behind.
constexpr std::size_t changes_max = 512;

/// Moments, the last one not included.
using Span = std::pair<std::uint64_t, std::uint64_t>;

std::vector<Span> common(const std::vector<Span>& some, const std::vector<Span>& others) {
    std::vector<Span> found;
    for (const Span& a : some)
        for (const Span& b : others) {
            const Span both{std::max(a.first, b.first), std::min(a.second, b.second)};
            if (both.first < both.second) found.push_back(both);
        }
    return found;
}

}  // namespace

void SourceHistory::note(std::span<const Disk* const> disks) {
    ++moment_;
    changes_.resize(disks.size());
    for (std::size_t i = 0; i < disks.size(); ++i) {
        const std::vector<Version>& now = disks[i]->now();
        changes_[i].resize(now.size());
        for (std::size_t block = 0; block < now.size(); ++block) {
            std::deque<Change>& changes = changes_[i][block];
            if (!changes.empty() && changes.back().version == now[block]) continue;
            changes.push_back({moment_, now[block]});
            if (changes.size() > changes_max) changes.pop_front();
        }
    }
}

bool SourceHistory::held(std::span<const std::vector<Version>> images) const {
    DROVER_ASSERT(images.size() == changes_.size());
    std::vector<Span> possible = {{0, moment_ + 1}};
    for (std::size_t i = 0; i < images.size(); ++i)
        for (std::size_t block = 0; block < changes_[i].size(); ++block) {
            const std::deque<Change>& changes = changes_[i][block];
            std::vector<Span> while_there;
            for (std::size_t at = 0; at < changes.size(); ++at) {
                if (changes[at].version != images[i][block]) continue;
                const bool is_last = at + 1 == changes.size();
                while_there.emplace_back(changes[at].moment,
                                         is_last ? moment_ + 1 : changes[at + 1].moment);
            }
            possible = common(possible, while_there);
        }
    return !possible.empty();
}

}  // namespace drover::sim
