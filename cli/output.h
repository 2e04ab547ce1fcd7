/// Where output goes: data to stdout, everything else to stderr. One per run.
#pragma once

#include "cli/client.h"
#include "cli/json.h"

#include <functional>
#include <iosfwd>
#include <string>

namespace drover::cli {

enum class Format : std::uint8_t {
    text,
    json,   ///< one document, indented
    jsonl,  ///< one document a line; a list gives a line an item
    name    ///< only names, one a line
};

class Console {
  public:
    struct Mode {
        Format format = Format::text;
        bool quiet = false;     ///< no hints
        bool progress = false;  ///< stderr is a terminal
    };

    Console(std::ostream& out, std::ostream& err, Mode mode)
        : out_(out),
          err_(err),
          mode_(mode) {}

    /// Prints `document` in the chosen format; `text` is the form for people.
    void document(const Json& document, const std::string& text);
    /// A single item of a stream: text as it is, JSON always one line.
    void item(const Json& item, const std::string& text);
    /// A line on stderr.
    void note(const std::string& line);
    /// "Next: ..." on stderr, for people.
    void hint(const std::string& next);
    /// Replaces the line of progress on a terminal; nothing elsewhere.
    void progress(const std::string& line);
    /// Says why, what is kept and what to do next, or prints the problem document; returns its
    /// code.
    ExitCode fail(const Failure& failure);

    [[nodiscard]] Format format() const { return mode_.format; }

  private:
    void end_progress();

    std::ostream& out_;
    std::ostream& err_;
    Mode mode_;
    bool progress_shown_ = false;
};

}  // namespace drover::cli
