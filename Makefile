.PHONY: test check fmt generate bench

test: ## the library alone: seconds, offline
	go test ./...

check: ## everything that CI runs on Linux: many minutes, needs Node.js
	.ci/run

fmt:
	gofmt -w .

generate: ## the pictures, and the tables of docs/providers.md
	go test ./docs -run Pictures -update
	go test ./internal/providers -run Page -update

bench: ## about four minutes
	go -C bench run .
