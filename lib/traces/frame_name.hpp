// A call's address as a line of text.
#pragma once

#include <string>

namespace brood::detail {

/// "square(int)+0x12 (/usr/bin/program+0x1234)": what addr2line(1) takes; the name only if the module shows it.
std::string frame_line(const void* call);

}  // namespace brood::detail
