module github.com/portkey-go/portkey

go 1.24.0

require github.com/google/uuid v1.6.0

require github.com/sashabaranov/go-openai v1.43.0
