#include "system/build_id.hpp"

#include <elf.h>

#include <cstddef>
#include <cstring>

namespace brood::sys {
namespace {

/// A note is a header, a name and a description, each on four bytes; elf(5).
std::string_view build_id_in(const char* notes, std::size_t size) noexcept {
  constexpr auto aligned = [](std::size_t n) { return (n + 3) & ~std::size_t{3}; };
  for (std::size_t at = 0; at + sizeof(ElfW(Nhdr)) <= size;) {
    ElfW(Nhdr) note;
    std::memcpy(&note, notes + at, sizeof note);
    const std::size_t name = at + sizeof note;
    const std::size_t description = name + aligned(note.n_namesz);
    if (description + note.n_descsz > size) break;
    if (note.n_type == NT_GNU_BUILD_ID &&
        std::string_view(notes + name, note.n_namesz) == std::string_view("GNU", 4)) {
      return {notes + description, note.n_descsz};
    }
    at = description + aligned(note.n_descsz);
  }
  return {};
}

}  // namespace

std::string_view build_id_of(const dl_phdr_info& module) noexcept {
  for (int i = 0; i < module.dlpi_phnum; ++i) {
    const auto& segment = module.dlpi_phdr[i];
    if (segment.p_type != PT_NOTE) continue;
    const auto id =
        build_id_in(reinterpret_cast<const char*>(module.dlpi_addr + segment.p_vaddr), segment.p_memsz);
    if (!id.empty()) return id;
  }
  return {};
}

}  // namespace brood::sys
