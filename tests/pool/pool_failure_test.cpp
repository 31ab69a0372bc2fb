#include "pools.hpp"
