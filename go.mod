module github.com/portkey-go/portkey

go 1.24.0

require github.com/google/uuid v1.6.0

require (
	github.com/hashicorp/go-retryablehttp v0.7.8
	github.com/sashabaranov/go-openai v1.43.0
)

require github.com/hashicorp/go-cleanhttp v0.5.2 // indirect
