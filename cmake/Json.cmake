# drover_boost_json: Boost.JSON compiled once from its headers, so that no extra package is needed.
# A folder that uses Boost.JSON includes this file and links the target privately.
include_guard(GLOBAL)
add_library(drover_boost_json STATIC ${CMAKE_CURRENT_LIST_DIR}/boost_json.cc)
target_include_directories(drover_boost_json SYSTEM PUBLIC ${Boost_INCLUDE_DIRS})
