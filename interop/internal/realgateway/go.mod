module github.com/portkey-go/portkey/interop/internal/realgateway

go 1.26.0
