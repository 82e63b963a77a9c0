# shunt_bpf_object(NAME SOURCE HEADERS): compile SOURCE for the BPF target, make NAME.skel.h,
# and give the INTERFACE target NAME-skeleton that carries its include path. HEADERS are
# dependencies, so editing include/ rebuilds the object, the skeleton and its users.
find_program(BPF_CLANG NAMES clang clang-14 clang-15 clang-16 REQUIRED)
find_program(BPFTOOL NAMES bpftool PATHS /usr/sbin /sbin REQUIRED)

function(shunt_bpf_object name source headers)
  set(dir ${CMAKE_BINARY_DIR}/bpf)
  set(object ${dir}/${name}.bpf.o)
  set(skeleton ${dir}/${name}.skel.h)
  file(MAKE_DIRECTORY ${dir})
  # The multiarch directory holds <asm/types.h>, which the bpf target does not search.
  execute_process(COMMAND ${CMAKE_C_COMPILER} -print-multiarch
    OUTPUT_VARIABLE arch OUTPUT_STRIP_TRAILING_WHITESPACE)
  list(TRANSFORM headers PREPEND "" OUTPUT_VARIABLE deps)
  add_custom_command(OUTPUT ${object}
    COMMAND ${BPF_CLANG} -target bpf -mcpu=v3 -O2 -g -std=gnu11 -Wall -Wextra -Werror
      -I${CMAKE_SOURCE_DIR}/include -I${CMAKE_SOURCE_DIR}/bpf
      -idirafter /usr/include/${arch}
      -c ${CMAKE_SOURCE_DIR}/${source} -o ${object}
    DEPENDS ${CMAKE_SOURCE_DIR}/${source} ${deps}
    COMMENT "BPF ${source}")
  add_custom_command(OUTPUT ${skeleton}
    COMMAND ${BPFTOOL} gen skeleton ${object} name ${name}_bpf > ${skeleton}
    DEPENDS ${object} COMMENT "skeleton ${name}.skel.h")
  add_custom_target(${name}-skeleton-file DEPENDS ${skeleton})
  add_library(${name}-skeleton INTERFACE)
  target_include_directories(${name}-skeleton SYSTEM INTERFACE ${dir})
  add_dependencies(${name}-skeleton ${name}-skeleton-file)
endfunction()
