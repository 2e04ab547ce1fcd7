#include "base/exit_code.h"

namespace drover {

ExitCode exit_code_of(Errc code) {
    switch (code) {
        case Errc::none:
            return ExitCode::ok;
        case Errc::invalid:
            return ExitCode::usage;
        case Errc::not_found:
            return ExitCode::not_found;
        case Errc::conflict:
            return ExitCode::refused;
        case Errc::denied:
            return ExitCode::not_allowed;
        case Errc::unavailable:
        case Errc::timed_out:
            return ExitCode::unreachable;
        case Errc::corrupt:
            return ExitCode::integrity;
        case Errc::io:
        case Errc::unsupported:
            return ExitCode::failure;
        case Errc::cancelled:
            return ExitCode::interrupted;
    }
    return ExitCode::failure;
}

}  // namespace drover
