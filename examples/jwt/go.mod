module github.com/portkey-go/portkey/examples/jwt

go 1.24.0

replace github.com/portkey-go/portkey => ../..

require (
	github.com/portkey-go/portkey v0.0.0
	golang.org/x/oauth2 v0.33.0
)

require (
	github.com/google/uuid v1.6.0 // indirect
	github.com/hashicorp/go-cleanhttp v0.5.2 // indirect
	github.com/hashicorp/go-retryablehttp v0.7.8 // indirect
	github.com/sashabaranov/go-openai v1.43.0 // indirect
)
