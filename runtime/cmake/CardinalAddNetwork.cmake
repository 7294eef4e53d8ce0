# cardinal_add_network(<target> <net.nn> WEIGHTS <file>|random:<seed>
#                      [NETWORK <name>] [SET <key>=<value>...] [TARGET <cpu>] [OUTPUT_NAME <name>] [MODE object|shared])
#
# Compiles a network as part of the build of <target>, again whenever the source, a file it imports, the weights or the
# compiler change.
#   NETWORK      which network of the file, if it has several
#   SET          the network's parameters
#   TARGET       native, x86-64, x86-64-v3, x86-64-v4, aarch64 or an LLVM CPU name. The default is native, or when
#                cross-compiling CMAKE_SYSTEM_PROCESSOR
#   OUTPUT_NAME  names the header, <name>.h, which <target> may include; the default is NETWORK, else the file's stem
#   MODE         object (the default) links the network into <target>. shared builds <name>.so for
#                cardinal::Model::load; <target> gets its path as the macro CARDINAL_<NAME>_PATH.
# <target> is linked to Cardinal::runtime in either mode. Where the package has no compiler, as when cross-compiling, the
# program CARDINAL_EXECUTABLE compiles, by default the `cardinal` on the path.

# Appends to <result> the file and all files it imports, directly or not. They are read again when one of them changes.
function(_cardinal_collect_sources file result)
  set(found ${${result}} ${file})
  if(EXISTS ${file})
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
    get_filename_component(directory ${file} DIRECTORY)
    file(STRINGS ${file} imports REGEX "^[ \t]*import[ \t]*\"[^\"]+\"")
    foreach(line IN LISTS imports)
      string(REGEX REPLACE "^[ \t]*import[ \t]*\"([^\"]+)\".*" "\\1" imported "${line}")
      get_filename_component(imported ${imported} ABSOLUTE BASE_DIR ${directory})
      if(NOT imported IN_LIST found)
        _cardinal_collect_sources(${imported} found)
      endif()
    endforeach()
  endif()
  set(${result} ${found} PARENT_SCOPE)
endfunction()

function(cardinal_add_network target source)
  cmake_parse_arguments(PARSE_ARGV 2 arg "" "WEIGHTS;NETWORK;TARGET;OUTPUT_NAME;MODE" "SET")
  if(arg_UNPARSED_ARGUMENTS OR arg_KEYWORDS_MISSING_VALUES)
    message(FATAL_ERROR "cardinal_add_network: cannot understand ${arg_UNPARSED_ARGUMENTS} ${arg_KEYWORDS_MISSING_VALUES}")
  endif()
  if(NOT TARGET ${target})
    message(FATAL_ERROR "cardinal_add_network: ${target} is not a target")
  endif()
  if(TARGET Cardinal::cardinal)
    set(compiler $<TARGET_FILE:Cardinal::cardinal>)
  else()
    find_program(CARDINAL_EXECUTABLE cardinal DOC "Compiles networks where this installation of Cardinal cannot")
    if(NOT CARDINAL_EXECUTABLE)
      message(FATAL_ERROR "cardinal_add_network: this installation of Cardinal has no compiler; "
        "set CARDINAL_EXECUTABLE to the `cardinal` of another")
    endif()
    set(compiler ${CARDINAL_EXECUTABLE})
  endif()
  if(NOT arg_TARGET AND CMAKE_CROSSCOMPILING)
    string(REPLACE "x86_64" "x86-64" arg_TARGET ${CMAKE_SYSTEM_PROCESSOR})
  endif()
  if(NOT arg_WEIGHTS)
    message(FATAL_ERROR "cardinal_add_network: say WEIGHTS <file> or WEIGHTS random:<seed>")
  endif()
  if(NOT arg_MODE)
    set(arg_MODE object)
  elseif(NOT arg_MODE MATCHES "^(object|shared)$")
    message(FATAL_ERROR "cardinal_add_network: MODE is object or shared, not ${arg_MODE}")
  endif()
  get_filename_component(source ${source} ABSOLUTE)
  set(name ${arg_OUTPUT_NAME})
  if(NOT name)
    set(name ${arg_NETWORK})
  endif()
  if(NOT name)
    get_filename_component(name ${source} NAME_WE)
  endif()

  set(sources)
  _cardinal_collect_sources(${source} sources)
  set(weights ${arg_WEIGHTS})
  set(depends ${sources} ${compiler})
  if(NOT weights MATCHES "^random:")
    get_filename_component(weights ${weights} ABSOLUTE)
    list(APPEND depends ${weights})
  endif()
  set(compile ${compiler} compile ${source} --weights ${weights})
  if(arg_NETWORK)
    list(APPEND compile --network ${arg_NETWORK})
  endif()
  foreach(assignment IN LISTS arg_SET)
    list(APPEND compile --set ${assignment})
  endforeach()
  if(arg_TARGET)
    list(APPEND compile --target ${arg_TARGET})
  endif()

  # The header goes beside the first artefact, under the same name.
  set(directory ${CMAKE_CURRENT_BINARY_DIR}/cardinal/${target})
  file(MAKE_DIRECTORY ${directory})
  set(header ${directory}/${name}.h)
  if(arg_MODE STREQUAL object)
    set(output ${directory}/${name}.o)
    set(emit --emit=obj,header)
  else()
    set(output ${directory}/${name}.so)
    set(emit --emit=so,header)
  endif()
  add_custom_command(OUTPUT ${output} ${header}
    COMMAND ${compile} ${emit} -o ${output}
    DEPENDS ${depends}
    COMMENT "Compiling network ${name}"
    VERBATIM)
  target_sources(${target} PRIVATE ${output} ${header})
  target_include_directories(${target} PRIVATE ${directory})
  target_link_libraries(${target} PRIVATE Cardinal::runtime)
  if(arg_MODE STREQUAL object)
    set_source_files_properties(${output} PROPERTIES EXTERNAL_OBJECT TRUE GENERATED TRUE)
  else()
    string(MAKE_C_IDENTIFIER ${name} macro)
    string(TOUPPER ${macro} macro)
    set_source_files_properties(${output} PROPERTIES HEADER_FILE_ONLY TRUE GENERATED TRUE)
    target_compile_definitions(${target} PRIVATE CARDINAL_${macro}_PATH="${output}")
  endif()
endfunction()
