// openai-go before its fix of comments in streams: does what a user's program would, and checks it.
// Usage: conversation URL         a script that switches models; the last line of its output is "done"
//
//	conversation URL wait   a stream of the model "slow", which has to load first; writes its text
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/openai/openai-go"
	"github.com/openai/openai-go/option"
	"github.com/openai/openai-go/shared"
)

var (
	ctx    = context.Background()
	client openai.Client
	hello  = []openai.ChatCompletionMessageParamUnion{openai.UserMessage("Hello")}
	place  = map[string]any{
		"type":                 "object",
		"properties":           map[string]any{"city": map[string]any{"type": "string", "enum": []string{"Rome", "Oslo"}}},
		"required":             []string{"city"},
		"additionalProperties": false,
	}
)

func check(good bool, what ...any) {
	if !good {
		log.Panic(what...)
	}
}

func ask(model string, tokens int64) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{
		Model: model, Messages: hello, MaxTokens: openai.Int(tokens), Temperature: openai.Float(0)}
}

func chat(params openai.ChatCompletionNewParams) openai.ChatCompletionMessage {
	answer, err := client.Chat.Completions.New(ctx, params)
	check(err == nil, err)
	return answer.Choices[0].Message
}

// The text of a stream, and its error.
func stream(params openai.ChatCompletionNewParams) (string, error) {
	stream := client.Chat.Completions.NewStreaming(ctx, params)
	defer stream.Close()
	text := ""
	for stream.Next() {
		for _, choice := range stream.Current().Choices {
			text += choice.Delta.Content
		}
	}
	return text, stream.Err()
}

func checkPlace(text string) {
	var found struct{ City string }
	err := json.Unmarshal([]byte(text), &found)
	check(err == nil && slices.Contains([]string{"Rome", "Oslo"}, found.City), text, err)
}

func checkRefusal(err error, status int, code string) {
	var refusal *openai.Error
	check(errors.As(err, &refusal), "not the client's own error: ", err)
	check(refusal.StatusCode == status && refusal.Code == code && refusal.Message != "", err)
}

func tool() openai.ChatCompletionToolParam {
	return openai.ChatCompletionToolParam{Function: openai.FunctionDefinitionParam{Name: "get_weather", Parameters: place}}
}

// A bias that makes a random model begin a tool call: see tool_calls.jinja.
func brace(url string) map[string]int64 {
	answer, err := http.Post(url+"/tokenize", "application/json", strings.NewReader(`{"model": "a", "content": "{"}`))
	check(err == nil, err)
	defer answer.Body.Close()
	var found struct{ Tokens []int64 }
	err = json.NewDecoder(answer.Body).Decode(&found)
	check(err == nil && len(found.Tokens) > 0, err)
	return map[string]int64{fmt.Sprint(found.Tokens[len(found.Tokens)-1]): 100}
}

func converse(url string) {
	ids := []string{}
	models := client.Models.ListAutoPaging(ctx)
	for models.Next() {
		ids = append(ids, models.Current().ID)
	}
	slices.Sort(ids)
	check(models.Err() == nil && slices.Equal(ids, []string{"a", "b", "c", "d", "e", "slow"}), ids, models.Err())

	first := chat(ask("a", 8)).Content
	check(first != "")
	text, err := stream(ask("b", 8))
	check(err == nil && text != "", err)
	vectors, err := client.Embeddings.New(ctx, openai.EmbeddingNewParams{
		Model: "e", Input: openai.EmbeddingNewParamsInputUnion{OfArrayOfStrings: []string{"one", "two"}}})
	check(err == nil, err)
	check(len(vectors.Data) == 2 && len(vectors.Data[0].Embedding) == 64, vectors)
	check(chat(ask("a", 8)).Content == first)

	call := ask("a", 200)
	call.Tools = append(call.Tools, tool())
	call.ToolChoice.OfAuto = openai.String("required")
	call.ParallelToolCalls = openai.Bool(false)
	call.LogitBias = brace(url)
	calls := chat(call).ToolCalls
	check(len(calls) == 1 && calls[0].Function.Name == "get_weather", calls)
	checkPlace(calls[0].Function.Arguments)

	form := ask("a", 400)
	form.ResponseFormat.OfJSONSchema = &shared.ResponseFormatJSONSchemaParam{
		JSONSchema: shared.ResponseFormatJSONSchemaJSONSchemaParam{Name: "place", Schema: place, Strict: openai.Bool(true)}}
	checkPlace(chat(form).Content)

	_, err = client.Chat.Completions.New(ctx, ask("nosuch", 8))
	checkRefusal(err, 404, "model_not_found")
	_, err = stream(ask("nosuch", 8))
	checkRefusal(err, 404, "model_not_found")
	_, err = client.Embeddings.New(ctx, openai.EmbeddingNewParams{
		Model: "a", Input: openai.EmbeddingNewParamsInputUnion{OfString: openai.String("x")}})
	checkRefusal(err, 400, "unsupported")
	fmt.Println("done")
}

func main() {
	log.SetFlags(log.Lshortfile)
	client = openai.NewClient(option.WithBaseURL(os.Args[1]+"/v1"), option.WithAPIKey("unused"), option.WithMaxRetries(0))
	if len(os.Args) == 2 {
		converse(os.Args[1])
		return
	}
	text, err := stream(ask("slow", 8))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(text)
}
