/// The rules of the source tree that a compiler does not know. Pure functions from a file's path
/// and text to findings, so that each rule is itself tested with bad samples (checks_test.cc).
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace drover::tidy {

struct File {
    std::string path;  ///< relative to the repository, '/' between names
    std::string text;
};

/// "path:line: what is wrong", in the order of the file.
using Findings = std::vector<std::string>;

/// Quoted includes name their folder, and only folders below it in ARCHITECTURE.md's picture.
[[nodiscard]] Findings check_direction(const File& file);

/// Heavy third-party headers stay in the few files that hide them.
[[nodiscard]] Findings check_fences(const File& file);

/// Words that have no place: clocks, randomness and sleeps inside, notes to oneself, unordered
/// containers where order can reach an event.
[[nodiscard]] Findings check_words(const File& file);

/// At most lines_max lines of at most columns_max characters (comments and text literals:
/// text_columns_max), no tabs, no blanks at the end.
[[nodiscard]] Findings check_shape(const File& file);

constexpr std::size_t lines_max = 500;
constexpr std::size_t columns_max = 100;
constexpr std::size_t text_columns_max = 120;

/// No path that exists only where the file was written.
[[nodiscard]] Findings check_paths(const File& file);

/// Every .cc and .c file is named in a CMakeLists.txt of its own folder or of one above it.
[[nodiscard]] Findings check_built(const std::vector<File>& files);

/// Ids that the code can show and the document has no row for, and rows for ids that the code does
/// not have. `ids`: one a line.
[[nodiscard]] Findings check_documented(std::string_view ids, const std::string& document);

/// The folders whose code is part of the product.
[[nodiscard]] bool is_product(std::string_view path);

}  // namespace drover::tidy
