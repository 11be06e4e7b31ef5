module github.com/portkey-go/portkey/interop

go 1.24.0

require (
	github.com/portkey-go/portkey v0.0.0
	github.com/sashabaranov/go-openai v1.43.0
)

require github.com/google/uuid v1.6.0 // indirect

replace github.com/portkey-go/portkey => ../
