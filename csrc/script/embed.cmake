# rewire_embed(TARGET NAME name FILES f...): compiles the bytes of files into TARGET.
# In C++: #include "embedded/<name>.h" declares
#   std::span<const rewire::embedded::File> rewire::embedded::<name>();   each {path, bytes}
# path is the file's, relative to the folder of the CMakeLists.txt that calls.
set(REWIRE_EMBED_SCRIPT ${CMAKE_CURRENT_LIST_DIR}/embed.py)
function(rewire_embed target)
  cmake_parse_arguments(arg "" "NAME" "FILES" ${ARGN})
  set(folder ${CMAKE_CURRENT_BINARY_DIR}/embedded)
  set(source ${folder}/${arg_NAME}.cpp)
  add_custom_command(
    OUTPUT ${source} ${folder}/${arg_NAME}.h
    COMMAND ${REWIRE_PYTHON} ${REWIRE_EMBED_SCRIPT} ${arg_NAME} ${folder} ${arg_FILES}
    WORKING_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR}
    DEPENDS ${arg_FILES} ${REWIRE_EMBED_SCRIPT} VERBATIM)
  target_sources(${target} PRIVATE ${source})
  set_source_files_properties(${source} PROPERTIES SKIP_PRECOMPILE_HEADERS ON)
  target_include_directories(${target} PRIVATE ${CMAKE_CURRENT_BINARY_DIR})
endfunction()
