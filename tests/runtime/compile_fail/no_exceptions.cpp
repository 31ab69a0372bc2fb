// expect: compile without -fno-exceptions
#include "brood/brood.hpp"
