// The streams of the C library.
#pragma once

namespace brood::sys {

/// fflush(3) of all streams, but without a look at more than their states where nothing is to be written: fflush takes
/// the lock of each stream, and every page that is written to costs a child a copy.
void flush_streams() noexcept;

}  // namespace brood::sys
