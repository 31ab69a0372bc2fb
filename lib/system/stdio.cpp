#include "system/stdio.hpp"

#include <dlfcn.h>

#include <cstdio>

#if __has_include(<sys/single_threaded.h>)
#include <sys/single_threaded.h>
#define BROOD_KNOWS_STREAMS 1
#endif

namespace brood::sys {
namespace {

#ifdef BROOD_KNOWS_STREAMS

// glibc's list of the open streams; null where it has none of this name. Looked up, as a plain reference may make the
// linker give the program a copy of the variable, which would not change with the original.
std::FILE* const* const open_streams = static_cast<std::FILE* const*>(dlsym(RTLD_DEFAULT, "_IO_list_all"));

[[gnu::hot]] bool nothing_to_write() noexcept {
  if (open_streams == nullptr || !__libc_single_threaded)
    return false;  // without a lock: nobody else changes the list
  for (const std::FILE* stream = *open_streams; stream != nullptr; stream = stream->_chain) {
    // One that writes wide characters keeps them elsewhere.
    if (stream->_IO_write_ptr > stream->_IO_write_base || stream->_mode > 0) return false;
  }
  return true;
}

#else

bool nothing_to_write() noexcept { return false; }

#endif

}  // namespace

[[gnu::hot]] void flush_streams() noexcept {
  if (!nothing_to_write()) std::fflush(nullptr);
}

}  // namespace brood::sys
