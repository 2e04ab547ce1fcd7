#include "cli/table.h"

#include "base/assert.h"

#include <algorithm>

namespace drover::cli {
namespace {

/// Code points, so that a name outside ASCII does not shift its line.
std::size_t width_of(const std::string& text) {
    return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
        return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
    }));
}

}  // namespace

void Table::add(std::vector<std::string> cells) {
    DROVER_ASSERT(cells.size() == rows_.front().size());
    for (std::string& cell : cells) {
        if (cell.empty()) cell.assign(1, '-');
    }
    rows_.push_back(std::move(cells));
}

std::string Table::str() const {
    if (rows_.size() == 1) return {};
    std::vector<std::size_t> widths(rows_.front().size(), 0);
    for (const auto& row : rows_) {
        for (std::size_t i = 0; i < row.size(); ++i)
            widths[i] = std::max(widths[i], width_of(row[i]));
    }
    std::string out;
    for (const auto& row : rows_) {
        std::string line;
        for (std::size_t i = 0; i < row.size(); ++i) {
            line += row[i];
            if (i + 1 < row.size()) line.append(widths[i] - width_of(row[i]) + 2, ' ');
        }
        out += line + '\n';
    }
    return out;
}

}  // namespace drover::cli
