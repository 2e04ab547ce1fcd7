#include "cli/output.h"

#include "base/bytes.h"

#include <ostream>

namespace drover::cli {
namespace {

constexpr std::size_t line_length_max = 1000;

std::string name_in(const Json& document) {
    for (const char* key : {"name", "agent", "job"}) {
        const Json member = document[key];
        if (member.is_object()) return member["name"].text();
        if (!member.is_null()) return member.text();
    }
    return document["seq"].text();
}

}  // namespace

void Console::document(const Json& document, const std::string& text) {
    end_progress();
    const bool is_list = document["items"].is_array();
    switch (mode_.format) {
        case Format::text:
            out_ << text;
            break;
        case Format::json:
            out_ << document.pretty() << '\n';
            break;
        case Format::jsonl:
            if (!is_list) out_ << document.compact() << '\n';
            for (const Json& element : document["items"].items()) out_ << element.compact() << '\n';
            break;
        case Format::name:
            if (!is_list) out_ << name_in(document) << '\n';
            for (const Json& element : document["items"].items()) out_ << name_in(element) << '\n';
            break;
    }
    out_.flush();
}

void Console::item(const Json& item, const std::string& text) {
    end_progress();
    switch (mode_.format) {
        case Format::text:
            out_ << text;
            break;
        case Format::json:
        case Format::jsonl:
            out_ << item.compact() << '\n';
            break;
        case Format::name:
            out_ << name_in(item) << '\n';
            break;
    }
    out_.flush();
}

void Console::note(const std::string& line) {
    end_progress();
    err_ << printable(line, line_length_max) << '\n' << std::flush;
}

void Console::hint(const std::string& next) {
    if (mode_.quiet || next.empty()) return;
    note("Next: " + next);
}

void Console::progress(const std::string& line) {
    if (!mode_.progress || line.empty()) return;
    err_ << "\r\033[K" << printable(line, line_length_max) << std::flush;
    progress_shown_ = true;
}

void Console::end_progress() {
    if (!progress_shown_) return;
    err_ << '\n';
    progress_shown_ = false;
}

ExitCode Console::fail(const Failure& failure) {
    end_progress();
    if (mode_.format == Format::json || mode_.format == Format::jsonl) {
        err_ << failure.problem << '\n' << std::flush;
        return failure.exit;
    }
    note("drover: " + failure.id + ": " + failure.detail);
    if (!failure.kept.empty()) note("  kept: " + failure.kept);
    if (!failure.next.empty()) note("  next: " + failure.next);
    return failure.exit;
}

}  // namespace drover::cli
