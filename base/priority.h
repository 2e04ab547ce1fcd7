/// Whose work goes first when processors are short. In the simulator nobody's does.
#pragma once

namespace drover {

/// The calling thread, and those that it starts from now on, give way to other work of the host
/// (nice 10), or no longer do, which needs CAP_SYS_NICE. Does nothing where the kernel refuses.
void give_way(bool gives);

}  // namespace drover
