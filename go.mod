module github.com/microsim-dev/kubectl-microsim

go 1.26.0

require go.yaml.in/yaml/v3 v3.0.6

require github.com/HdrHistogram/hdrhistogram-go v1.4.0
