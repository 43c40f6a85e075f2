# The two commands are `./zoning demo` and `./zoning test`; make is optional.
.PHONY: demo test lock

demo:
	./zoning demo

test:
	./zoning test

# Needs uv (`.zoning/tools/bin/uv` after the first start of ./zoning, or your own). No addresses: any mirror will do.
UV := $(or $(wildcard .zoning/tools/bin/uv),uv)
lock:
	# Wheels for macOS 14 on Intel end with these.
	printf 'h3<4.4\npyproj<3.8\n' | "$(UV)" pip compile --constraints - --quiet --universal --generate-hashes --python-version 3.11 --group dev --all-extras --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" pyproject.toml --output-file requirements.lock
