// Pseudo terminals, pty(7), and what is set on any terminal.
#pragma once

#include <sys/ioctl.h>
#include <termios.h>

#include "brood/system/unique_fd.hpp"

namespace brood::sys {

/// Both ends are close-on-exec, and neither becomes this process's controlling terminal.
struct pseudo_terminal {
  unique_fd master;
  unique_fd slave;
};

/// Whether the kernel can keep it: from 1 to 65,535 each.
bool is_terminal_size(int columns, int rows) noexcept;
/// Throws `std::system_error`: ENOSPC when there are as many as the system allows, EMFILE.
pseudo_terminal open_terminal(int columns, int rows);
/// For either end; the processes in the foreground get SIGWINCH if it is another. Throws `std::system_error`.
void set_terminal_size(int fd, int columns, int rows);
winsize terminal_size(int fd);

termios terminal_modes(int fd);
/// At once. Throws `std::system_error`.
void set_terminal_modes(int fd, const termios& modes);

}  // namespace brood::sys
