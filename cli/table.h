/// Columns of text, each as wide as its widest cell. Pure.
#pragma once

#include <string>
#include <vector>

namespace drover::cli {

class Table {
  public:
    explicit Table(std::vector<std::string> header)
        : rows_{std::move(header)} {}

    /// One cell a column. An empty cell is shown as "-".
    void add(std::vector<std::string> cells);

    /// Two spaces between columns, no blanks at the end of a line. Empty without rows.
    [[nodiscard]] std::string str() const;

  private:
    std::vector<std::vector<std::string>> rows_;
};

}  // namespace drover::cli
