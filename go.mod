module github.com/assay-tee/assay

go 1.26
